#!/usr/bin/env bash
# The recipe that `photo-psnr` began with, and with it `photo`: 512 latent channels, lambda from
# 0.0004 to 1.6, photographs and screenshots, squared error. LOG.md has what followed. Trains on whatever there is: a GPU, or all cores. Run again, it goes on where it was.
#
#   runs/photo.sh PHOTOS/ SCREENS/ RUN/ [INIT.safetensors]
set -euo pipefail
photos=$1 screens=$2 run=$3 init=${4:-}
export OMP_WAIT_POLICY=PASSIVE
if compgen -G "$run/checkpoint-*" >/dev/null; then
  exec rdae train --resume -o "$run"
fi
exec rdae train "$photos" --screens "$screens" -o "$run" ${init:+--init "$init"} \
  --hours 15 --learning-rate 0.001 --checkpoint-minutes 5 --validation-minutes 30
