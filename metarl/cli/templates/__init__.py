"""Starting files that `metarl new` writes. Each is a family that works as it is."""
