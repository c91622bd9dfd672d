"""Models: their specs and weights files, those that are installed, and the loaded network.

spec           the sections of an autoencoder, as data
presets        the specs that can be trained
weights_file   integers and their description, in safetensors
installed      which models there are, and finding one by name, number or path
model          a loaded model: what a decoder computes, exactly
encoder_half   its other half, which chooses what to send
quarters       the quarter of a tile's latents that each pass codes
"""
