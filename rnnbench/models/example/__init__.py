"""A declaration from example arguments and dynamic axes, as torch's own exporters take them."""
