"""The one door to a database's files: what it holds, which rows count, how files are read, written whole and kept."""
