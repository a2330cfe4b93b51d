"""How large a family's file may be before a decoder is let near it: pixel, duration and size bombs end here."""

PHOTO_BYTES = 200_000_000
PHOTO_PIXELS = 150_000_000  # a 108-megapixel phone photo passes
PHOTO_SHORT_SIDE = 64  # below this no face can be read
PHOTO_LONG_SIDE = 4096  # photos are scaled down to this

AUDIO_BYTES = 4_000_000_000
AUDIO_SECONDS = 2 * 3600.0  # two hours at 24 kHz are 0.7 GB in memory
AUDIO_RATES = (6_000, 384_000)
AUDIO_CHANNELS = 16

VIDEO_BYTES = 20_000_000_000
VIDEO_SECONDS = 4 * 3600.0
VIDEO_PIXELS = 8192 * 4320

FILES_PER_KIND = 2_000

VOICE_RATE = 24_000  # Hz, of every normalised voice recording
MUSIC_RATE = 48_000
