#!/bin/sh
# results/measure.sh KODAK OUT: what summary.txt shows, from a folder of the 24 Kodak images. Other codecs are taken from
# rows.tsv where their versions are those of this machine; what was measured anew replaces it in the end.
set -eu
cd "$(dirname "$0")/.."
rdae eval "$1" -q 0:100:10 --against jpeg,jpeg:subsampling=420,webp,avif,heic,jxl,rdae:model=photo-psnr --anchor webp \
    --metric psnr,ms-ssim,ssimulacra2 --reuse results -o "$2" > results/summary.txt
cp "$2/bd_rate.csv" results/
awk -F '\t' 'NR == 1 || $5 !~ /^rdae/' "$2/rows.tsv" > results/rows.tsv
