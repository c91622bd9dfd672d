"""`python -m rdae.training`: one process of torchrun's."""

from rdae.training.launch import main

main()
