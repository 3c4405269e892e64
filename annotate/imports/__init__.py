"""Labels made elsewhere: Label Studio's JSON, and released lists of important words."""
