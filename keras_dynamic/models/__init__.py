"""Networks as chains, and cascades of whole networks."""

from keras_dynamic.models.attach_exits import attach_exits
from keras_dynamic.models.cascade import Cascade, cascade
from keras_dynamic.models.collaborate import collaborate
from keras_dynamic.models.densenet_bc import densenet_bc
from keras_dynamic.models.group_channels import group_channels
from keras_dynamic.models.guideline_network import guideline_network
from keras_dynamic.models.import_keras_applications import import_keras_applications
from keras_dynamic.models.import_weights import import_densenet_bc, import_resnet_cifar
from keras_dynamic.models.mobilenet_v2 import mobilenet_v2
from keras_dynamic.models.msdnet import msdnet
from keras_dynamic.models.policy_recurrent import policy_recurrent
from keras_dynamic.models.policy_resnet import policy_resnet
from keras_dynamic.models.resnet_cifar import resnet_cifar
from keras_dynamic.models.resnet_imagenet import resnet50, resnet101, resnet_imagenet
from keras_dynamic.models.until_exit import until_exit

__all__ = [
    "Cascade",
    "attach_exits",
    "cascade",
    "collaborate",
    "densenet_bc",
    "group_channels",
    "guideline_network",
    "import_densenet_bc",
    "import_keras_applications",
    "import_resnet_cifar",
    "mobilenet_v2",
    "msdnet",
    "policy_recurrent",
    "policy_resnet",
    "resnet50",
    "resnet101",
    "resnet_cifar",
    "resnet_imagenet",
    "until_exit",
]
