"""A frame becomes masks and pictures: segmenter, exact upsampling, pipeline, colours, attention."""
