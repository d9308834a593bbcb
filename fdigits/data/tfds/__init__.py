"""fdigits' data sets as TensorFlow Datasets builds them; a builder has a package of its own."""
