"""What a label matrix is: codes, observed labels, DAMP's pseudo-labels, splits."""
