"""Drawings as files that a workshop uses: PNG, SVG, PDF and DXF, one module each."""
