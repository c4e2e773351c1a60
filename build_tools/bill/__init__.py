"""The bill of materials and the licences of a wheel, written and held against its binaries."""
