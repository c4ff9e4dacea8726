"""How good a model is: data sets, scores, two models on one drive."""
