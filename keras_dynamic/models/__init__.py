"""Ready-made networks: residual, dense and multi-scale ones, policies, and cascades of whole networks."""

from keras_dynamic.layers.functional import from_functional
from keras_dynamic.models.cascade import DISCOUNTS, Cascade, cascade
from keras_dynamic.models.densenet_bc import densenet_bc
from keras_dynamic.models.distil_front import distil_front, front_network
from keras_dynamic.models.import_weights import import_densenet_bc, import_keras_applications, import_resnet_cifar
from keras_dynamic.models.mlperf_tiny import mlperf_tiny
from keras_dynamic.models.mobilenet_v2 import mobilenet_v2
from keras_dynamic.models.msdnet import msdnet
from keras_dynamic.models.policy_networks import guideline_network, policy_recurrent, policy_resnet
from keras_dynamic.models.resnet import resnet50, resnet101, resnet_cifar, resnet_imagenet

__all__ = [
    "DISCOUNTS",
    "Cascade",
    "cascade",
    "densenet_bc",
    "distil_front",
    "from_functional",
    "front_network",
    "guideline_network",
    "import_densenet_bc",
    "import_keras_applications",
    "import_resnet_cifar",
    "mlperf_tiny",
    "mobilenet_v2",
    "msdnet",
    "policy_recurrent",
    "policy_resnet",
    "resnet50",
    "resnet101",
    "resnet_cifar",
    "resnet_imagenet",
]
