"""What every part speaks: errors, plugins, the declaration, the bundle, files, tables."""
