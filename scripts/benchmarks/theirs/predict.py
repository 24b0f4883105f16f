"""nnU-Net's own command for predicting a folder; its arguments are that command's.

The trainer that the checkpoint names need not be installed: it builds the network as the default one does.
"""

from nnunetv2.inference import predict_from_raw_data as program
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

if __name__ == "__main__":
    program.recursive_find_trainer_class_by_name = lambda name: nnUNetTrainer
    program.predict_entry_point_modelfolder()
