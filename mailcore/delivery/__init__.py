"""The way out: claims, local and remote delivery, bounces."""
