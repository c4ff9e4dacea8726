"""Models: the catalogue of those that come with the package, and how a name becomes a file."""
