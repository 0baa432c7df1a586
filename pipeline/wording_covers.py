"""Plain words for what is measured of covers, and of encoders of tracks and pictures."""

from __future__ import annotations

# Of pictures, in the order of the report.
PICTURES = {
    "brightness": "mean lightness, from 0 to 1",
    "contrast": "how much lightness varies over the picture",
    "saturation": "how far its colours are from grey, from 0 to 1",
    "colourfulness": "as people see it: 0 is grey, 33 moderate, 82 high",
    "colour_entropy_bits": "how many colours it has, in bits, 0 to 6",
    "hue_concentration": "how far it is of one hue, from 0 to 1",
    "edge_density": "share of the pixels on an edge",
    "fine_detail": "share of light and shade that is finer than a sixteenth of the width",
}
# Of a model, in the order of the report.
MEASURED = {
    "retrieval_rank": "share of the other albums' tracks that are farther from what is read out of "
    "a cover than its own; 0.5 by chance",
    "retrieval_rank_shuffled": "the same of covers drawn for all other tracks: what conditions "
    "dealt out anew give",
    "retrieval_margin": "the first minus the second; only an interval wholly above 0 shows that "
    "covers lead to their track",
    "retrieval_p": "probability that conditions dealt out anew fit as well, of 2,000 permutations",
    "retrieval_top_5": "share of the covers whose own track is among the five nearest",
    "retrieval_top_5_by_chance": "what chance gives of that",
    "ceiling_rank": "the same rank of real held-out covers: more cannot be hoped for",
    "ceiling_p": "probability that chance gives as much; where it is not small, nothing can be "
    "claimed",
    "ceiling_rank_from_generated": "rank of real held-out covers if the predictor is fitted to "
    "generated covers of training tracks",
    "fid": "Fréchet distance to the training covers in the judge's features; not comparable with "
    "published ones",
    "fid_held_out": "the same of held-out covers, as many",
    "kid": "kernel distance to the training covers, which few samples do not bias",
    "kid_held_out": "the same of held-out covers",
    "frechet_joint_distance": "Fréchet distance of covers together with what they were drawn for",
    "frechet_joint_distance_held_out": "the same of held-out covers with their own tracks",
    "density": "how many training covers' neighbourhoods a generated cover lies in; 1 for equals",
    "density_held_out": "the same of held-out covers",
    "coverage": "share of the training covers in whose neighbourhood a generated one lies",
    "coverage_held_out": "the same of held-out covers",
    "diversity_within_track": "mean distance of two covers of one track, in the judge's features",
    "diversity_between_tracks": "the same of two tracks'",
    "diversity_between_tracks_same_latent": "the same of two tracks', drawn from one latent: what "
    "the condition alone changes",
    "nearest_cover_distance": "distance to the nearest training cover, in the judge's features",
    "nearest_cover_distance_held_out": "the same of held-out covers: far below it is copying",
    "pairwise_rmse": "how unlike two covers are, in levels of 255",
    "genre_accuracy": "share of held-out tracks whose genre a linear probe names",
    "genre_accuracy_majority": "that of naming the most frequent genre",
    "genre_accuracy_margin": "the first minus the second",
    "tempo_r2": "share of the variance of the tempo, in octaves, that a linear probe explains",
    "energy_r2": "the same of Spotify's energy",
    "neighbour_agreement": "share of a track's five nearest, its album's left out, of its genre",
    "neighbour_agreement_random": "the same of all others",
    "explained_variance": "share of held-out tracks' variance that the components hold",
    "explained_variance_random": "the same of as many random directions",
    "explained_variance_margin": "the first minus the second",
    "mean_square": "of the standardised numbers of held-out tracks; 1 where they are as the "
    "training tracks'",
    "prediction_error_db": "mean error of the frames predicted, in dB",
    "prediction_error_copy_db": "the same of the frames heard last",
    "prediction_margin": "what prediction is nearer by",
    "reconstruction_error_db": "error of spectrograms given back, in dB",
    "reconstruction_error_mean_db": "the same of the training tracks' mean",
    "reconstruction_error_other_db": "the same with another track's code",
    "view_accuracy": "share of held-out covers of which one crop leads to another crop",
    "view_accuracy_thumbnail": "the same by thumbnails",
    "view_accuracy_histogram": "the same by histograms of colours",
    "view_accuracy_margin": "what the network finds more than thumbnails",
}
WITHOUT_INTERVAL = (
    *("retrieval_p", "retrieval_top_5_by_chance", "ceiling_p"),
    *("fid", "fid_held_out", "kid", "kid_held_out"),
    *("frechet_joint_distance", "frechet_joint_distance_held_out"),
    *("density", "density_held_out", "coverage", "coverage_held_out"),
    *("diversity_within_track", "diversity_between_tracks", "diversity_between_tracks_same_latent"),
)
