// Opens a file that is refused, again and again; prints the pages by which the process grew after the first times.
#include <fstream>
#include <iostream>
#include <stdexcept>

#include "stages.h"

long pages() {
  long all = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident;
}

int main(int, char** arguments) {
  long before = 0;
  for (int time = 0; time < 60; ++time) {
    try {
      Stages stages(arguments[1]);
      return 1;
    } catch (const std::runtime_error&) {
    }
    if (time == 20) before = pages();
  }
  std::cout << "grew by " << pages() - before << " pages\n";
  return 0;
}
