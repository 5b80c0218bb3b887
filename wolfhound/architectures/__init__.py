"""Networks that torchvision lacks: VGG-F, CaffeNet and the compact demonstration family."""
