"""Images, data sets, generated radar scenes, and overlap between training and test images."""
