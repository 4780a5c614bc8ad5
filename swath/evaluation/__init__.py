"""Evaluation: models and maps scored against labels in one confusion matrix, with intervals, calibration, objects and an error map."""
