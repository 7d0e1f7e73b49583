"""The example site: a blacksmith's shop with everything a real Django project uses."""
