"""A page on which a person says of pairs of image and class whether they are right."""
