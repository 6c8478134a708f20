"""What is counted on images: torchmetrics metrics, each a pure function with a thin class around it."""
