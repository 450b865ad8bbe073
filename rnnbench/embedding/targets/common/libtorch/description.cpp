#include "description.hpp"

#include "ports.h"

namespace {

std::vector<Port> ports(const model_port* first, int count) {
  std::vector<Port> found;
  for (const model_port* port = first; port != first + count; ++port) {
    const Role role = port->role == ROLE_LENGTHS ? Role::lengths
                      : port->role == ROLE_STATE ? Role::state
                                                 : Role::data;
    found.push_back({port->name, port->dtype, role, port->time_axis, port->batch_axis, port->state,
                     std::vector<std::int64_t>(port->shape, port->shape + port->rank)});
  }
  return found;
}

}  // namespace

const Description& description() {
  static const Description about{MODEL_NAME, MODEL_FILE, MODEL_STREAMS != 0,
                                 ports(model_inputs, MODEL_INPUTS),
                                 ports(model_outputs, MODEL_OUTPUTS)};
  return about;
}
