"""Labels made elsewhere: annotation tools' files, and released lists of important words."""
