"""What can keep an image from being built."""


class ImageError(Exception):
    """Told to the operator in one line."""
