"""The torch half: the autoencoder, its objective, training, and export to a weights file."""
