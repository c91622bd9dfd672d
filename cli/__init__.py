"""The command line of rdae, installed as `rdae.cli`. It holds no codec logic.

`main` is the app; each command has its own module. Modules here import nothing heavy at the top:
`rdae --help` must be quick, and options and paths are checked before the codec is loaded.
"""
