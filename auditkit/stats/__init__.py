"""The mathematics that controls and attacks share: arrays and integer codes in, frozen results out."""
