"""What every room may use: row bands, order, progress, statistics, tables, package files."""
