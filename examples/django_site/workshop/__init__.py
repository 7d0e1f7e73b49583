"""The one application of the example site."""
