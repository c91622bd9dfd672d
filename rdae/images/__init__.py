"""Pictures in and out: whatever a user has to a Picture, and a Picture to a file or an image.

inputs       paths, bytes, Pillow images, arrays
reader       which files are taken, and why others are refused
picture      the Picture itself
pillow       Pillow's images to it and back, and what is kept of a file
writer       files of it
bit_depth, colour, channels, metadata      what is converted, when a user says so
jpeg_xl, png_file, tiff_errors             what Pillow leaves to us
png_writer, tiff_file                      what is written without Pillow
"""
