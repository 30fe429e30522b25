"""`natsdb run` puts this folder first on a script's path: it holds the names that scripts import."""
