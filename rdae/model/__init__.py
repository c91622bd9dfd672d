"""Models: their specs and weights files, those that are installed, and the loaded network.

spec           the sections of an autoencoder, as data
presets        the specs that can be trained
weights_file   integers and their description, in safetensors
manifest       the weights files that are installed
installed      loading one of them, by name, number or path
cards          what is known of them without loading them
model          a loaded model: what a decoder computes, exactly
encoder_half   its other half, which chooses what to send
quarters       the quarter of a tile's latents that each pass codes
"""
