"""Training as the stage train does it, in parts: what comes of a resumed one is tested with it."""

import keras
import numpy as np

from pipeline.checkpoints import Checkpoints


def fitted(recipe, shards, options, folder, until):
    """Trains to an epoch from where the folder's checkpoint is; another seed must not matter."""
    keras.utils.set_random_seed(until)
    model = recipe.build(options, shards)
    checkpoints = Checkpoints(folder, options.patience)
    checkpoints.restore(model)
    done = checkpoints.num_epochs
    if not done:
        rng = np.random.default_rng(0)
        for variable in model.trainable_variables:
            variable.assign(rng.normal(scale=0.2, size=variable.shape))
        for variable in model.variables:
            if "seed" in variable.path:
                variable.assign(np.zeros(variable.shape))
    model.fit(
        recipe.batches(shards, "train", options, 1).skip(done * options.steps_per_epoch),
        validation_data=recipe.batches(shards, "validation", options, 1),
        initial_epoch=done,
        epochs=until,
        steps_per_epoch=options.steps_per_epoch,
        callbacks=[checkpoints],
        shuffle=False,
        verbose=0,
    )
    return model, checkpoints
