"""Networks as chains, and cascades of whole networks."""

from keras_dynamic.models.cascade import Cascade, cascade
from keras_dynamic.models.guideline_network import guideline_network
from keras_dynamic.models.import_weights import import_resnet_cifar
from keras_dynamic.models.policy_recurrent import policy_recurrent
from keras_dynamic.models.policy_resnet import policy_resnet
from keras_dynamic.models.resnet_cifar import resnet_cifar
from keras_dynamic.models.resnet_imagenet import resnet_imagenet

__all__ = [
    "Cascade",
    "cascade",
    "guideline_network",
    "import_resnet_cifar",
    "policy_recurrent",
    "policy_resnet",
    "resnet_cifar",
    "resnet_imagenet",
]
