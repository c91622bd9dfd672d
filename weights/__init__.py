"""Weights files that ship with rdae, and their manifest; see README.md beside this file."""
