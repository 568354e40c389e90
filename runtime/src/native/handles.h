// What the handles of sbn.h point to.
#pragma once

#include "native/model.h"
#include "sbn.h"

struct sbn_model : sbn::native::Model {};
struct sbn_context : sbn::native::Context {
  const void** inputs;  // by input; of a number anything but null where there is one
};
