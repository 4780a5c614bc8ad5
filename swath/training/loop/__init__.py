"""The training loop: networks, losses, augmentation, Lightning's Trainer, export of trained networks. Needs the extra `train`."""
