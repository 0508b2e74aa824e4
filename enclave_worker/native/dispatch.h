// Which instruction set the tiles use: the best that this CPU has.
#pragma once

#include "tiles.h"

namespace sealbatch {

const Tiles& chosen_tiles();

}  // namespace sealbatch
