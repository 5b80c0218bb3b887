"""Plans over the folder of real classifiers and photographs, written through the doors that a user would take."""

import shutil
from pathlib import Path

from tests.real_subjects import EXACT_MOBILENET

IMAGENET = """\
wolfhound: 1
name: real-imagenet
purpose: Three real pretrained ImageNet networks on real photographs.
seed: 2017
device: cpu
batch_size: 50
images:
  source: folder
  path: {real}/images/nips2017_dev
  size: 224
  fit: {{method: squash}}
  labels: leading_index
  class_names: imagenet
splits: {{craft: 140, select: 30, report: 130}}
classifiers:
  - {{name: squeezenet1_1, source: torchvision, architecture: squeezenet1_1,
     weights: {real}/models/squeezenet1_1_torchvision.pth}}
  - {{name: squeezenet1_0, source: torchvision, architecture: squeezenet1_0,
     weights: {real}/models/squeezenet1_0_deepcompression.pth}}
  - name: mobilenet_v2
    source: factory
    file: exact_mobilenet.py
    callable: mobilenet
    arguments: {{weights: {real}/models/mobilenet_v2_tf2keras.pth}}
    preprocessing: {{mean: [0, 0, 0], std: [1, 1, 1]}}
universal:
  - attack: sgd_uap
    threat: {{norm: linf, epsilon: 10/255}}
    options: {{passes: 12, step: 0.15, images_per_update: 10}}   # few crafting images: more and smaller updates
targeted:
  - {{threat: {{norm: linf, epsilon: 4/255}}, images: 12, shown: 3, classifiers: [squeezenet1_1]}}
criteria:
  - {{id: universal, text: Keeps its prediction., rate: universal.fooling_rate, at_most: 30 %}}
"""

CIFAR = """\
wolfhound: 1
name: real-cifar
purpose: A plain and a hardened CIFAR-10 network on real photographs.
seed: 2017
device: cpu
batch_size: 100
images:
  source: folder
  path: {real}/images/cifar10_jpeg
  size: 32
  fit: {{method: squash}}
splits: {{craft: 160, select: 60, report: 500}}
classifiers:
  - name: resnet20
    source: factory
    file: {real}/archs.py
    callable: CifarResNet
    arguments: {{n: 3}}
    weights: {real}/models/cifar10_resnet20.pth
    preprocessing: {{mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}}
  - name: robust_resnet4b
    source: factory
    file: {real}/archs.py
    callable: RobustResNet
    arguments: {{which: 4b}}
    weights: {real}/models/cifar10_robust_resnet4b.pth
    preprocessing: {{mean: [0.4914, 0.4822, 0.4465], std: [0.2471, 0.2435, 0.2616]}}
universal:
  - {{attack: sgd_uap, threat: {{norm: linf, epsilon: 10/255}}}}
  - {{attack: deepfool_uap, threat: {{norm: linf, epsilon: 10/255}}, sources: [resnet20], options: {{passes: 1}}}}
criteria:
  - {{id: universal, text: Keeps its prediction., rate: universal.fooling_rate, at_most: 30 %}}
"""


def write_imagenet_plan(real: Path, folder: Path) -> Path:
    """Write the ImageNet plan, and the files that its factory needs, into `folder`; return the plan."""
    (folder / "exact_mobilenet.py").write_text(EXACT_MOBILENET)
    shutil.copy(real / "archs.py", folder / "archs.py")
    plan = folder / "real-imagenet.yaml"
    plan.write_text(IMAGENET.format(real=real))
    return plan


def write_cifar_plan(real: Path, folder: Path) -> Path:
    """Write the CIFAR-10 plan into `folder` and return it."""
    plan = folder / "real-cifar.yaml"
    plan.write_text(CIFAR.format(real=real))
    return plan
