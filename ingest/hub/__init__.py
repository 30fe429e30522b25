"""A database as a data set of the Hugging Face Hub: files, data card, Croissant metadata."""
