"""natsdb."""
