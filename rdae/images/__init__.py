"""Pictures in and out: whatever a user has to a Picture, and a Picture to a file or an image.

inputs       paths, bytes, Pillow images, arrays
reader       which files are taken, and why others are refused
picture      the Picture itself, and what is kept of a file
bit_depth, colour, channels, metadata      what is converted, when a user says so
jpeg_xl, png_file, tiff_errors             what Pillow leaves to us
"""
