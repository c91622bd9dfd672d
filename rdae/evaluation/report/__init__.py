"""What an evaluation shows: figures, pictures, tables, and one page with all of them."""
