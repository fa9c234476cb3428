#include "launch/launch.h"

int main(int argc, char **argv)
{
    return pawl_main(argc, argv);
}
