"""From a whole case to a label on the case's own grid."""
