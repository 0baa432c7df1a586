"""Methods of style transfer, a module each."""
